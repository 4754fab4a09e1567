"""One module for each build step; `registry` finds them."""
