"""Files of body models (.npz, .pkl): reading, checking and writing them."""
