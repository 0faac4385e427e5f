from inspectd_tools.programs import profile_models

if __name__ == "__main__":
    raise SystemExit(profile_models())
