"""Packages in pure Python for the sandbox: what a program asks for, found, checked and kept. Changes with packaging."""
