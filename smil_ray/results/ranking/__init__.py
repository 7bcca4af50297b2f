"""Trials and runs in order: leaderboards, Pareto fronts, intervals, importance."""
