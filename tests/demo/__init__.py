"""The demo: Holdfast's main job on a real cluster, told step by step."""
