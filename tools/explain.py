from inspectd_tools.programs import explain

if __name__ == "__main__":
    raise SystemExit(explain())
