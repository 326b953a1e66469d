"""When, where and with which camera a photo was taken."""
