"""Recorded runs and those that go on, in a browser: `harness view`.

Every page is a plain GET, made anew from the files of the run: Parquet tables that are scanned and never read
whole, the journal for what is in no table. Nothing is written, nobody is asked, and no code of a suite runs.
"""
