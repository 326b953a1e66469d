"""The papers: views, networks, queue and momentum, and the loop that trains them."""
