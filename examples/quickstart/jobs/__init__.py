"""A small job queue: `web` takes jobs in, `worker` computes them, `ticker` keeps them coming."""
