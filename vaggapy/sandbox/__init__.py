"""One process in its own namespaces. Owns ctypes. Layer above `config`."""
