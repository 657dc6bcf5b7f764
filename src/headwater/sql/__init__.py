"""Syntax trees: quoting, parsing, finding tables. Values in, values out."""
