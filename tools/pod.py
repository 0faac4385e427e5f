from inspectd_tools.programs import pod

if __name__ == "__main__":
    raise SystemExit(pod())
