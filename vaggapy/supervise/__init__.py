"""Many sandboxes under one policy. Layer above `build`."""
