"""What the policy adds for runs with rules; loaded only for those. `turn` first, then the parts that it names. Pure."""
