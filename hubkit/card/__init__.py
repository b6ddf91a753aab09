"""The model card: a pure function of the record, the adapter's files, a template and the author's text."""
