from inspectd_tools.programs import build_engine

if __name__ == "__main__":
    raise SystemExit(build_engine())
