from inspectd_tools.programs import synthesize

if __name__ == "__main__":
    raise SystemExit(synthesize())
