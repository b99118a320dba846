"""``holdfast verify``: each check looks at one link between what a person approved and what answers."""
