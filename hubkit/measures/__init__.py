"""The measures: each a plain function that says what it counts and returns its part of the record."""
