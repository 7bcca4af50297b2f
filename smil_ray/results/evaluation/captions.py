"""What figures are called in tables, and which of two values is the better one."""

SHOWN = {
    "pose_score": "pose score (1 = mean pose)",
    "pa_mpjpe_pct_bl": "PA-MPJPE [% body length]",
    "mpjpe_ra_pct_bl": "MPJPE, root-aligned [% body length]",
    "mpjpe_pct_bl": "MPJPE [% body length]",
    "rot_deg_joint": "joint rotation [deg]",
    "rot_deg_global": "root rotation [deg]",
    "pck@0.05_bbox": "PCK@0.05 of the box",
    "pck@0.10_bbox": "PCK@0.10 of the box",
    "pck_auc_bbox": "PCK, area up to 0.2 of the box",
    "pck@5px_input": "PCK@5px at input size",
    "kp2d_px_input": "2D error [px at input size]",
    "pa_mpvpe_pct_bl": "PA-MPVPE [% body length]",
    "iou": "silhouette IoU",
}
"""Figures of the printed table and their captions; the JSON holds all."""
SHORT = {
    "pose_score": "pose score",
    "pa_mpjpe_pct_bl": "PA-MPJPE %",
    "mpjpe_ra_pct_bl": "root-al. MPJPE %",
    "mpjpe_pct_bl": "MPJPE %",
    "rot_deg_joint": "joint rot. deg",
    "rot_deg_global": "root rot. deg",
    "pck@0.05_bbox": "PCK@0.05",
    "pck@0.10_bbox": "PCK@0.10",
    "pck_auc_bbox": "PCK area to 0.2",
    "pck@5px_input": "PCK@5px",
    "kp2d_px_input": "2D error px",
    "pa_mpvpe_pct_bl": "PA-MPVPE %",
    "iou": "silhouette IoU",
}
"""The same for terminals of 80 characters; % is of body length."""
GROUPED = ("pa_mpjpe_pct_bl", "mpjpe_ra_pct_bl", "rot_deg_joint", "pck@0.10_bbox")
"""Figures that are shown by part of the body."""
HIGHER_IS_BETTER = ("pck", "auc", "iou")


def is_higher_better(figure: str) -> bool:
    """Return whether large values of a figure, `val/` or not, are good."""
    return figure.rpartition("/")[2].startswith(HIGHER_IS_BETTER)


def is_better(figure: str, ours: float, theirs: float) -> bool:
    """Return whether `ours` is better than `theirs`."""
    return ours > theirs if is_higher_better(figure) else ours < theirs


def digits(value: float | None) -> str:
    """Return a number with three digits that count, at most three decimals; a dash for None."""
    if value is None:
        return "-"
    if abs(value) >= 1000 or 0.0 < abs(value) < 0.0005:
        return f"{value:.2g}" if abs(value) < 1 else f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:#.3g}".rstrip(".")
