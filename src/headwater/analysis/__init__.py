"""What the project says as a whole: who reads whom, in which order, what a name selects. Pure."""
