"""The vocabulary of Holdfast: the three kinds, their names, conditions and reasons. Imports nothing of ours."""
