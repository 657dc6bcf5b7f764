"""Reading a project's folder into frozen definitions, with file:line in every mistake."""
