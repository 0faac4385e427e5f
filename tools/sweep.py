from inspectd_tools.programs import sweep

if __name__ == "__main__":
    raise SystemExit(sweep())
