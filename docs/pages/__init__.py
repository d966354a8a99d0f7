"""The reference pages that come from the code: one module a page, which gives its text."""
