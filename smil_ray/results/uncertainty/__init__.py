"""How far off a prediction may be: conformal intervals of joints, and which frames to label."""
