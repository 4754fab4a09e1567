"""Namespaces with addresses: the place of the network issue. Will own pyroute2. Layer above `sandbox`."""
