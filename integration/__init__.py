"""Promises kept with real namespaces, sockets, terminals and signals; one file for each promise."""
