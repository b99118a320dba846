"""Pure decisions: from a frozen snapshot and a time to a plan. No clock, no randomness, no network, no kopf."""
