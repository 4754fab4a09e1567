"""The kinds of checks that the prober carries out, each a function to an `Outcome`."""
