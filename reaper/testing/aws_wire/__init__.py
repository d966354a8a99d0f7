"""What our fakes of AWS share: its protocols, botocore's service models as a contract, faults, datapoints.

`reaper.testing.studio` and `reaper.testing.ec2` are made of it.
"""
