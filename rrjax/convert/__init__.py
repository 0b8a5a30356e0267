"""Other programs' files, read and written: python -m rrjax.convert"""
