"""Alert rules: documents to rules, over what streams in and over series; the built-in pack."""
