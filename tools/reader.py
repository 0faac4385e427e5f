from inspectd_tools.programs import reader

if __name__ == "__main__":
    raise SystemExit(reader())
