from inspectd_tools.programs import experiments

if __name__ == "__main__":
    raise SystemExit(experiments())
