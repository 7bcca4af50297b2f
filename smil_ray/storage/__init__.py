"""Files in an object store, and the node's own copies of them."""
