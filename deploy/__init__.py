"""What runs Millrace: the container image, and real servers without Docker (`deploy.local`)."""
