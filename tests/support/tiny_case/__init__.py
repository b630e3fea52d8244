"""A whole use case in a few lines: does a pump fail within a day of a reading?"""
