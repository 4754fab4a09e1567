"""Images of registries and of directories, as values: references, manifests, credentials. Pure."""
