"""placeholder"""
def page(found, args): return ""
