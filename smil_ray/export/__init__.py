"""Animals in motion as files that other programs read: glTF, OBJ, PLY, USD, BVH, SMPL's npz."""
