"""Content-addressed root file systems: the place of the container issue. Layer above `net`."""
