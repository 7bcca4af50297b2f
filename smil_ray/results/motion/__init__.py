"""Animals over time: smoothing, joint angles and their velocities, stance and swing of feet."""
