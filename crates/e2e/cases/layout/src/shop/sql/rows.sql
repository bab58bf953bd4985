SELECT :name, 100 * length(:name)
