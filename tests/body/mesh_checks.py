"""Checks of triangle meshes, written for the tests: closedness and self-intersection."""

import numpy as np


def directed_edges(faces: np.ndarray) -> np.ndarray:
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def is_closed(faces: np.ndarray) -> bool:
    """Every directed edge occurs once, and its reverse once: a closed, oriented surface."""
    edges = {tuple(edge) for edge in directed_edges(faces).tolist()}
    return len(edges) == 3 * len(faces) and all((b, a) in edges for a, b in edges)


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def crossings(vertices: np.ndarray, faces: np.ndarray) -> list[tuple[tuple[int, int], int]]:
    """Return pairs (edge, face) where the edge passes through a face that it is no part of."""
    edges = np.unique(np.sort(directed_edges(faces), axis=1), axis=0)
    low_edge, high_edge = vertices[edges].min(axis=1), vertices[edges].max(axis=1)
    corners = vertices[faces]
    low_face, high_face = corners.min(axis=1), corners.max(axis=1)
    found = []
    for index, (low, high) in enumerate(zip(low_face, high_face, strict=True)):
        near = np.flatnonzero(((high_edge >= low) & (low_edge <= high)).all(axis=1))
        near = near[~np.isin(edges[near], faces[index]).any(axis=1)]
        start, end = vertices[edges[near, 0]], vertices[edges[near, 1]]
        hit = _passes_through(start, end, corners[index])
        found += [((int(a), int(b)), index) for a, b in edges[near[hit]]]
    return found


def _passes_through(start: np.ndarray, end: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Moeller and Trumbore's test, for many segments and one triangle."""
    origin, along = triangle[0], end - start
    one, two = triangle[1] - origin, triangle[2] - origin
    across = np.cross(along, two)
    determinant = across @ one
    safe = np.where(np.abs(determinant) < 1e-15, np.nan, determinant)
    offset = start - origin
    u = (offset * across).sum(axis=1) / safe
    q = np.cross(offset, one)
    v = (along * q).sum(axis=1) / safe
    t = (q @ two) / safe
    with np.errstate(invalid="ignore"):
        return (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)
