"""The endpoints of the HTTP API and of the page, one module per kind of answer."""
