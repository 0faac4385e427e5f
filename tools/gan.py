from inspectd_tools.programs import gan

if __name__ == "__main__":
    raise SystemExit(gan())
