"""Arrays as glTF accessors in one buffer."""

from typing import Any

import numpy as np

FLOAT, USHORT, UINT = 5126, 5123, 5125
_COMPONENTS = {np.dtype("f4"): FLOAT, np.dtype("u2"): USHORT, np.dtype("u4"): UINT}
_KINDS = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


class GlbBuffer:
    """Collects arrays and describes them to a `pygltflib.GLTF2`."""

    def __init__(self, gltf: Any) -> None:
        self._gltf = gltf
        self._data = bytearray()

    def add(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Append an array, items along the first axis; return its accessor.

        Args:
            values: Matrices act on columns; little-endian float32, uint16 or uint32.
            bounds: State least and greatest item, as glTF demands of positions and times.
        """
        from pygltflib import Accessor, BufferView

        kind = _KINDS[values.shape[1:]]
        stored = values.swapaxes(1, 2) if kind == "MAT4" else values
        data = np.ascontiguousarray(stored).tobytes()
        view = BufferView(buffer=0, byteOffset=len(self._data), byteLength=len(data))
        self._data += data + b"\0" * (-len(data) % 4)
        self._gltf.bufferViews.append(view)
        least, most = values.min(axis=0), values.max(axis=0)
        self._gltf.accessors.append(
            Accessor(
                bufferView=len(self._gltf.bufferViews) - 1,
                componentType=_COMPONENTS[values.dtype],
                count=len(values),
                type=kind,
                min=np.atleast_1d(least).tolist() if bounds else None,
                max=np.atleast_1d(most).tolist() if bounds else None,
            )
        )
        return len(self._gltf.accessors) - 1

    def finish(self) -> None:
        """Hand the data over."""
        from pygltflib import Buffer

        self._gltf.buffers = [Buffer(byteLength=len(self._data))]
        self._gltf.set_binary_blob(bytes(self._data))
