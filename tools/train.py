from inspectd_tools.programs import train

if __name__ == "__main__":
    raise SystemExit(train())
