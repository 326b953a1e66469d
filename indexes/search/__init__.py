"""FAISS segments in the store, and the photos nearest to a query."""
