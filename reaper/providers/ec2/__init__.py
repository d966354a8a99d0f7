"""EC2: the instances of each account and region, what CloudWatch shows of them, and their end."""
