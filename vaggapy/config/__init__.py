"""Text of vagga.yaml -> typed, immutable `Project`. Owns ruamel.yaml. Layer above `host`."""
